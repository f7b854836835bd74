"""Finals: the best functions of a search trained again with fresh paired seeds, and what may be said of them.

    from actsearch_controller.finals.loop import begin, drive

    begin(store, "first", FinalsSettings(finalists=3), recipes)
    print(drive(store, "first", evaluator).best)

docs/finals.md has the protocol, the statistics and what they do not guarantee.
"""
