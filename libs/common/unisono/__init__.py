"""Screens on one LAN that play as one: what the processes of a device and the cloud share."""

__version__ = "0.1.0"
