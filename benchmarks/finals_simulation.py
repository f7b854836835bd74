"""What finals say where the truth is known: the tables in docs/finals.md.

python benchmarks/finals_simulation.py --count 10000
"""

import argparse
import math

import numpy as np

from actsearch_controller.finals.simulation import NOISE_SD, Scenario, simulate, winners_curse

SCENARIOS = (
    Scenario("all equal", (0.0,) * 12),
    Scenario("all equal, no looks", (0.0,) * 12, looks=()),
    Scenario("all equal, heavy tails", (0.0,) * 12, noise="heavy"),
    Scenario("all equal, 1 % of trainings fail", (0.0,) * 12, noise="failing"),
    Scenario("all worse by 0.5 points", (-0.005,) * 12),
    Scenario("3 better by 1.5, 1, 0.5, rest worse by 1", (0.015, 0.01, 0.005, *(-0.01,) * 9)),
    Scenario("the same, no looks", (0.015, 0.01, 0.005, *(-0.01,) * 9), looks=()),
    Scenario("-1 to +2 points in equal steps", tuple(np.linspace(-0.01, 0.02, 12))),
    Scenario("2 equal best by 1, rest worse by 2", (0.01,) * 2 + (-0.02,) * 10),
    Scenario("3 equal best, 1 of a tenth of the noise", (0.01,) * 3 + (-0.02,) * 9, spread=(0.1, *(1.0,) * 11)),
    Scenario("the same, no looks", (0.01,) * 3 + (-0.02,) * 9, spread=(0.1, *(1.0,) * 11), looks=()),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="finals a scenario")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    error = math.sqrt(0.05 * 0.95 / options.count)
    print(f"{options.count:,} finals a scenario; a share of 5 % has a standard error of {100 * error:.2f} %\n")
    print("| 12 finalists, ReLU, SiLU | family-wise error | power | coverage | holds the best | by Holm "
          "| all best | tied | seeds used | winner's bias |")  # fmt: skip
    print("| --- |" + " --- |" * 9)
    for scenario in SCENARIOS:
        s = simulate(scenario, options.count, seed=options.seed)
        shares = (
            s.family_wise_error,
            s.power,
            s.coverage,
            s.holds_the_best,
            s.holds_the_best_by_holm,
            s.holds_all_best,
        )
        cells = [f"{100 * share:.1f}" for share in shares]
        cells += [f"{s.tied:.1f}", f"{100 * s.seeds_used:.0f}", f"{100 * s.winner_bias:+.2f}"]
        print("| " + " | ".join([scenario.name, *cells]) + " |", flush=True)
    print("\n| functions of a search | true spread | leader's score, bias | the same with 10 fresh seeds |")
    print("| --- | --- | --- | --- |")
    for functions in (60, 300, 1000):
        for true_sd in (0.0, 0.01):
            curse = winners_curse(
                functions=functions, true_sd=true_sd, search_sd=NOISE_SD, count=options.count, seed=options.seed
            )
            biases = f"{100 * curse.search_bias:+.2f} | {100 * curse.final_bias:+.2f}"
            print(f"| {functions} | {100 * true_sd:.0f} | {biases} |")


if __name__ == "__main__":
    main()
