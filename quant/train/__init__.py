"""Retraining in PyTorch: a float graph, labelled images and what is asked of its weights to other weights.

The only room that imports torch, which is no dependency but the extra `train`; this file and `settings.py` do not, so
that whoever trains nothing can be without it.
"""
