"""Beacons and probes between the devices of one LAN.

Paths of one kind lie behind one interface (`unisono.lan.paths`) and have a twin in memory
(`unisono.lan.memory`) under the same contract tests. This package imports nothing by itself:
the child process that holds a PGM socket must stay small.
"""
