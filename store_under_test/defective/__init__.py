"""The zoo: one small store per module, each with one planted defect or none.

They prove that the harness can see what it should and stays quiet where it should. Every
module stands alone, so that a reader finds the whole story on one page. `catalogue.rows()`
lists them all, with what is expected of the harness.
"""
