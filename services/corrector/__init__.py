"""The process that steers the player: clock map and timeline in, speed and seeks out."""
