"""Weak-class routing (Saarland report 2020): which sentences hold rare labels, and a vote of several taggers."""
