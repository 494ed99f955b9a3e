"""Hierarchical self-supervised learning: contrastive learning keeps what the two members of a pair share.

Every world gives `pairs.Pairs`, `training.fit` learns from them, `probes.read_off` says what was kept. Floors, top to
bottom, each importing only from lower ones: ``widgets, reporting → training → pairing, probes, calibration → losses,
objectives, encoders → augment → worlds → patches → pairs → checks``.

>>> from functools import partial
>>> from hssl.encoders import ConvNet
>>> from hssl.losses import info_nce
>>> from hssl.probes import read_off
>>> from hssl.training import fit
>>> from hssl.worlds.scenes import Scenes
>>> world = Scenes(redraw="hues", size=8)  # a world, and what its pairs do not share
>>> encoder = ConvNet(3, 32, size=8)
>>> history = fit(encoder, world, loss=partial(info_nce, temperature=0.5), steps=2, batch=8, generator=g)
>>> scores = read_off(encoder, world.sample(60, g))  # accuracy or R², a factor
>>> list(scores)
['class', 'position', 'spotlight', 'hue_object', 'hue_spotlight', 'hue_background', 'rotation']
"""

__version__ = "0.2.0.dev0"
