"""Sweeps: encoders × layers × poolings × tasks × protocols × seeds as ordinary records.

Records are those of ``respbench run``, in the same folder layout, and their files decide what is left to do.
"""
