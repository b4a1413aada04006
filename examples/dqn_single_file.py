"""A DQN in one file, CleanRL style, on the vector environment.

pip install 'glitch-gym[rl]'
python examples/dqn_single_file.py --steps 100000
"""

from __future__ import annotations

import argparse
import time

import gymnasium as gym
import numpy as np
import torch
from torch import nn

import glitch_gym  # noqa: F401


def main() -> None:
    """Train, and print the mean return from time to time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000, help="environment steps in total")
    parser.add_argument("--num-envs", type=int, default=16, help="parallel environments")
    parser.add_argument("--seed", type=int, default=0, help="seed of the run")
    parser.add_argument(
        "--learning-rate", type=float, default=1e-3, help="learning rate of the optimizer"
    )
    parser.add_argument("--gamma", type=float, default=0.95, help="discount factor")
    parser.add_argument("--batch", type=int, default=256, help="batch size of an update")
    parser.add_argument("--buffer", type=int, default=50_000, help="replay buffer size")
    parser.add_argument(
        "--learning-starts", type=int, default=1_000, help="transitions stored before updates start"
    )
    parser.add_argument(
        "--target-every", type=int, default=2_000, help="steps between target network updates"
    )
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    torch.manual_seed(args.seed)
    envs = gym.make_vec(
        "GlitchGrid-v0", num_envs=args.num_envs, observation="coordinates", objective="linger"
    )
    n_actions = envs.single_action_space.n

    def network() -> nn.Module:
        return nn.Sequential(
            nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, n_actions)
        )

    q, target = network(), network()
    target.load_state_dict(q.state_dict())
    optimizer = torch.optim.Adam(q.parameters(), lr=args.learning_rate)
    states = np.zeros((args.buffer, 2), np.float32)
    nexts = np.zeros((args.buffer, 2), np.float32)
    actions = np.zeros(args.buffer, np.int64)
    rewards = np.zeros(args.buffer, np.float32)
    ended = np.zeros(args.buffer, np.float32)
    stored = 0

    returns = np.zeros(args.num_envs)
    finished: list[float] = []
    began = time.perf_counter()
    observed, _ = envs.reset(seed=args.seed)
    resets = np.zeros(args.num_envs, bool)
    for step in range(0, args.steps, args.num_envs):
        epsilon = max(0.05, 1 - step / (0.5 * args.steps))
        chosen = rng.integers(n_actions, size=args.num_envs)
        with torch.no_grad():
            greedy = q(torch.from_numpy(observed)).argmax(dim=1).numpy()
        chosen = np.where(rng.random(args.num_envs) < epsilon, chosen, greedy)
        seen, reward, terminated, truncated, _ = envs.step(chosen)
        # With next-step autoreset, the step after an episode ends is a reset, not a transition
        for i in np.flatnonzero(~resets):
            row = stored % args.buffer
            states[row], nexts[row], actions[row] = observed[i], seen[i], chosen[i]
            rewards[row], ended[row] = reward[i], terminated[i]
            stored += 1
        returns += reward
        resets = terminated | truncated
        finished += returns[resets].tolist()
        returns[resets] = 0
        observed = seen

        if stored > args.learning_starts:
            rows = rng.integers(min(stored, args.buffer), size=args.batch)
            with torch.no_grad():
                best = target(torch.from_numpy(nexts[rows])).max(dim=1).values
                goal = torch.from_numpy(rewards[rows])
                goal += args.gamma * best * (1 - torch.from_numpy(ended[rows]))
            value = q(torch.from_numpy(states[rows]))
            value = value.gather(1, torch.from_numpy(actions[rows])[:, None])[:, 0]
            loss = nn.functional.mse_loss(value, goal)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if step // args.target_every != (step + args.num_envs) // args.target_every:
            target.load_state_dict(q.state_dict())
            if finished:
                done = step + args.num_envs
                rate = done / (time.perf_counter() - began)
                mean = np.mean(finished[-200:])
                print(f"{done:>8,} steps: mean return {mean:6.2f}, {rate:,.0f} steps/s")


if __name__ == "__main__":
    main()
