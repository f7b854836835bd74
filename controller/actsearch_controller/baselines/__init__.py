"""Proposers that every learned controller is compared with, behind the same port."""
