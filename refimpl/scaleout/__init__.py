"""Blocks of work on threads, processes or a cluster, with a ledger of what is done.

The home of Parsl: no other room imports it. A block is one call of a function with one argument.
Blocks do not know each other, so the result cannot depend on their order or on who works on them.
Each ending is one line of an append-only file, the ledger (:mod:`refimpl.ledger`); a run that was
interrupted or killed goes on where it stopped. What a block returns is small and goes into the
ledger; large results are files that the block writes itself, atomically, so that a block may be
done twice. Not done here: what the blocks are.

:mod:`~refimpl.scaleout.blocks` is the way in, :mod:`~refimpl.scaleout.engines` who does the work,
:mod:`~refimpl.scaleout.cluster` writes configurations for Slurm, PBS and one computer.
"""

from refimpl.ledger import fingerprint
from refimpl.scaleout.attempts import checkpoint, sigterm_as_interrupt
from refimpl.scaleout.blocks import Block, GaveUp, Interrupted, Outcome, Run, run_blocks
from refimpl.scaleout.engines import ENGINES
from refimpl.scaleout.kept import Kept

__all__ = [
    "ENGINES",
    "Block",
    "GaveUp",
    "Interrupted",
    "Kept",
    "Outcome",
    "Run",
    "checkpoint",
    "fingerprint",
    "run_blocks",
    "sigterm_as_interrupt",
]
