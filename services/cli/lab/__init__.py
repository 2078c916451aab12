"""A LAN in a box: hosts in network namespaces, and a switch whose links are as bad as one asks."""
