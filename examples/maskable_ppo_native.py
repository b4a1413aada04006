"""Train MaskablePPO on ``GlitchVecEnv``, which steps all agents in one compiled loop.

pip install 'glitch-gym[rl]'
python examples/maskable_ppo_native.py --steps 200000
"""

from __future__ import annotations

import argparse
import time

from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import VecMonitor

from glitch_agents.sb3 import GlitchVecEnv


def main() -> None:
    """Train with 64 agents at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200_000, help="environment steps in total")
    options = parser.parse_args()
    env = VecMonitor(GlitchVecEnv(64, observation="coordinates", grid=(20, 10), objective="linger"))
    model = MaskablePPO("MlpPolicy", env, n_steps=32, batch_size=512, seed=0, device="cpu")
    began = time.perf_counter()
    model.learn(options.steps)
    spent = time.perf_counter() - began
    returns = [episode["r"] for episode in model.ep_info_buffer]
    print(
        f"mean return {sum(returns) / len(returns):.2f} over the last {len(returns)} episodes; "
        f"{model.num_timesteps / spent:,.0f} steps/s, training included"
    )


if __name__ == "__main__":
    main()
