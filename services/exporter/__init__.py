"""Exporter: serves what the other processes of the device say on its bus as metrics."""
