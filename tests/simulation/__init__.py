"""The engine's pure core in a world of its own: a clock, a store whose transactions fail, a transport that
drops, repeats and delays, workers that die anywhere. One seed is one world: what went wrong once goes wrong
again."""
