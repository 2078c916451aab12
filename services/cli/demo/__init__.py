"""`unisono demo`: a whole site on one machine, from the control plane to the players."""
