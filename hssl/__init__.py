"""Hierarchical self-supervised learning: what the two members of a pair share is what is learned.

The modules follow one direction, and each may import only from those before it:
``worlds → (augment | patches → pairing) → encoders → losses → (schedules | checkpoints) → training → ledger →
probes → calibration → results → plots, widgets``.
"""

__version__ = "0.1.0"
