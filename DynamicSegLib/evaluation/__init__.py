"""Evaluation: Dice and Hausdorff distance as the challenges have them, decisions and oracle, the papers' tables."""
