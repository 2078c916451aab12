"""The processes: four on each device, one in the cloud, and the command line."""
