"""The cloud-bridge: the one process of a device that talks to the control plane."""
