"""What the control plane's calls cost and how many one worker serves, on real processes."""
