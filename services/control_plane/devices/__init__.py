"""What devices call: enrol, heartbeat, status, commands, telemetry."""
