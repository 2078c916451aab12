"""The beacon process: sends a session's beat on the LAN, or follows it."""
