"""`python -m tests.fuzz 1000`: compare all modes on random programs, and print the totals."""

import argparse
import secrets
import warnings

from tests.fuzz.campaign import Campaign

parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
parser.add_argument("count", type=int, nargs="?", default=300, help="how many programs")
parser.add_argument("--seed", type=int, help="which programs; random if not given")
parser.add_argument("--first", type=int, default=0, help="the number of the first program")
parser.add_argument("--oracle", type=int, default=10, help="compare every n-th with JAX; 0: none")
parser.add_argument("--compiled", type=int, default=20, help="compile every n-th; 0: none")
options = parser.parse_args()

warnings.simplefilter("error")
campaign = Campaign(secrets.randbelow(10**6) if options.seed is None else options.seed)
campaign.oracle = options.oracle and campaign.oracle and options.oracle
campaign.compiled = options.compiled and campaign.compiled and options.compiled
campaign.index = options.first
print(f"fuzz: seed {campaign.seed}", flush=True)
try:
    campaign.run(options.count)
finally:
    print(campaign.summary())
