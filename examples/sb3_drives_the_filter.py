"""Drive the filter with Stable-Baselines3: train PPO on a picture, then let its agents walk.

pip install 'glitch-gym[rl,samples]'
python examples/sb3_drives_the_filter.py sample:coffee -o coffee_ppo.png
"""

from __future__ import annotations

import argparse

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from glitch_agents import rollout
from glitch_agents.sb3 import GlitchVecEnv, ModelPolicy
from glitch_gym import GlitchGridEnv, read_picture
from glitch_render import replay, write_picture


def main() -> None:
    """Train, walk, replay and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "picture", nargs="?", default="sample:balloon", help="picture, or sample:NAME"
    )
    parser.add_argument("-o", "--output", default="ppo.png", help="picture to write")
    parser.add_argument("--steps", type=int, default=150_000, help="environment steps in total")
    parser.add_argument("--agents", type=int, default=1500, help="agents that walk")
    options = parser.parse_args()

    settings = {
        "image": options.picture,
        "grid": (100, 50),
        "fit": "stretch",
        "orient": "auto",
        "objective": "linger",
        "observation": "coordinates",
        "effects": {"same": (0.0, 0.2), "pixelate": (-0.2, 0.2)},
    }
    vector = VecMonitor(GlitchVecEnv(64, **settings))
    model = PPO("MlpPolicy", vector, n_steps=32, batch_size=512, seed=0, device="cpu")
    model.learn(options.steps)

    env = GlitchGridEnv(**settings)
    policy = ModelPolicy(model, env, deterministic=False)
    walks = rollout(env.world, policy, options.agents, lifetime=30)
    frame = read_picture(options.picture).frame
    painted = replay(frame, env.world.grid, env.world.actions, walks)
    write_picture(options.output, painted, force=True)
    print(f"{options.output}: {walks.n_stamps:,} stamps by {options.agents:,} agents")


if __name__ == "__main__":
    main()
