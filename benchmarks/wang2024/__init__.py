"""The tables of Wang et al. (J. Mater. Inf. 2024;4:32), regenerated from runs of the stock programs.

The folder ``tables`` declares the tables, ``budgets`` how large each run is, and ``published`` holds what
the paper prints. A run leaves one record; the report is made of records.
"""
