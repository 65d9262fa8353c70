"""The tables of Wang et al. (J. Mater. Inf. 2024;4:32), regenerated from runs of the stock programs.

``benchmarks/tables`` declares the tables, ``benchmarks/budgets`` how large each run is, and
``benchmarks/published`` holds what the paper prints. A run leaves one record; the report is made of records.
"""
