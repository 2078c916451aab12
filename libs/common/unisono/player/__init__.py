"""Players: the `Player` protocol, mpv behind its JSON IPC, and a simulated one."""
