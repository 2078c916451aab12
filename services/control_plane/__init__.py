"""The control plane: the only truth for what plays, who leads and when it starts."""
