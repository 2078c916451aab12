"""`unisono …`: what people type."""
