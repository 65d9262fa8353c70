"""Table 1 and Figures 2 to 5 of An and Yeo on ruthenium: as published, and on a split without duplicates.

The paper is Int. J. AI Mater. Des. 2(1), 21 (2025), doi 10.36922/ijamd.8291. These models see coordinates or
descriptors of one 16-atom cell and predict normalised energies and force components; none of them is an
interatomic potential. The potentials for dynamics are in :mod:`kan_heads.eam`.
"""
