"""Fuzzing of what decodes the LAN's messages: any bytes are read rightly or refused."""
