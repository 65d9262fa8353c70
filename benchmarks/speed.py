"""Runs ``kan-heads speed``, with the same options, out of a checkout.

python benchmarks/speed.py --quick --threads 2
"""

import sys

from kan_heads.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["speed"]
    main()
