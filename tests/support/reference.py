"""Plain, slow definitions that the fast paths are checked against."""

from __future__ import annotations

import numpy as np

from glitch_render.effects import Source, Stamp, get_effect

MASK = 2**64 - 1
GOLDEN_RATIO = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def draw(key: int, counter: int) -> int:
    """SplitMix64 at a place; streams are draws that serve as keys."""
    return mix(int(key) + (counter + 1) * GOLDEN_RATIO & MASK)


def unit(bits: int) -> float:
    return (bits >> 11) * 2.0**-53


def below(bits: int, n: int) -> int:
    return (bits >> 32) * n >> 32


def slipped(action, n_moves, slip, episode, step):
    """The action carried out: the share of the draw below the slip chooses among other moves."""
    level = unit(draw(draw(episode, 2**40), step))
    if level >= slip:
        return action
    effect, move = divmod(action, n_moves)
    others = [one for one in range(n_moves) if one != move]
    return effect * n_moves + others[min(int(level / slip * len(others)), len(others) - 1)]


def step(world, state, action):
    """The dynamics on rows and columns: (next cell, or None outside; reward; stamped)."""
    grid = world.grid
    row, col = divmod(int(state), grid.cols)
    move = action % world.actions.n_moves
    d_row, d_col = [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)][move]
    row, col = row + d_row, col + d_col
    if not (0 <= row < grid.rows and 0 <= col < grid.cols):
        return None, world.exit_reward, False
    if row >= grid.picture_rows or col >= grid.picture_cols:
        return int(state), world.prohibited_reward, False
    return row * grid.cols + col, float(world.reward_field[row, col, action]), True


def best_action(values, ties, bits):
    best = [a for a, value in enumerate(values) if value == max(values)]
    return best[0] if ties == "first" else best[below(bits, len(best))]


def q_learning(world, *, episodes, lifetime, alphas, epsilons, gamma, initial, ties, key):
    """Watkins's Q-learning, a dictionary of lists, one step after the other."""
    n = world.actions.n
    q = np.full((world.grid.n_cells, n), initial, np.float32)
    cells = world.grid.picture_cells()
    for episode in range(episodes):
        own = draw(key, episode)
        state = int(cells[below(draw(own, 0), len(cells))])
        for t in range(lifetime):
            if unit(draw(own, 2 * t + 1)) < epsilons[episode]:
                action = below(draw(own, 2 * t + 2), n)
            else:
                action = best_action(q[state].tolist(), ties, draw(own, 2 * t + 2))
            there, reward, _ = step(world, state, action)
            target = float(np.float32(reward))
            if there is not None:
                target += gamma * float(q[there].max())
            old = float(q[state, action])
            q[state, action] = np.float32(old + alphas[episode] * (target - old))
            if there is None:
                break
            state = there
    return q


def temporal_difference(
    name, world, *, episodes, lifetime, alpha, epsilon, gamma, ties, key, lambda_=0.8
):
    """SARSA, expected SARSA, double Q and Watkins's Q(λ), as the textbook's boxes have them."""
    n = world.actions.n
    q = np.zeros((world.grid.n_cells, n))
    halves = [np.zeros_like(q), np.zeros_like(q)]
    cells = world.grid.picture_cells()
    for episode in range(episodes):
        own = draw(key, episode)

        def choose(state, t, own=own):
            if unit(draw(own, 3 * t + 1)) < epsilon:
                return below(draw(own, 3 * t + 2), n)
            return best_action(q[state].tolist(), ties, draw(own, 3 * t + 2))

        state = int(cells[below(draw(own, 0), len(cells))])
        action = choose(state, 0)
        traces = {}
        for t in range(lifetime):
            there, reward, _ = step(world, state, action)
            reward = float(np.float32(reward))
            following = None if there is None else choose(there, t + 1)
            if name == "DoubleQLearning":
                coin = draw(own, 3 * t + 3) >> 63
                learns, judges = halves[coin], halves[1 - coin]
                target = reward
                if there is not None:
                    target += gamma * judges[there, int(learns[there].argmax())]
                learns[state, action] += alpha * (target - learns[state, action])
                q[state, action] = (halves[0][state, action] + halves[1][state, action]) / 2
            else:
                value = 0.0
                if there is not None:
                    row = q[there].tolist()
                    value = {
                        "Sarsa": row[following],
                        "ExpectedSarsa": epsilon * sum(row) / n + (1.0 - epsilon) * max(row),
                        "QLambda": max(row),
                    }[name]
                error = reward + gamma * value - q[state, action]
                if name == "QLambda":
                    traces[state, action] = 1.0
                    greedy = there is not None and q[there, following] == value
                    for pair in traces:
                        q[pair] += alpha * error * traces[pair]
                        traces[pair] *= gamma * lambda_
                    if not greedy:
                        traces = {}
                else:
                    q[state, action] += alpha * error
            if there is None:
                break
            state = there
            action = following if name in ("Sarsa", "QLambda") else choose(state, t + 1)
    return q.astype(np.float32)


def rollout(world, values, *, agents, lifetime, births, ties, epsilon, repeat, key):
    """Agents one by one; (agents, steps) of stamped cells and actions, and lengths."""
    cells = np.full((agents, lifetime), -1)
    actions = np.full((agents, lifetime), -1)
    lengths = np.zeros(agents, int)
    for agent in range(agents):
        own = draw(key, agent)
        state = int(births[below(draw(own, 0), len(births))])
        for t in range(lifetime):
            if repeat and t > 0:
                state = int(births[below(draw(own, 4 * t), len(births))])
            action = best_action(values[state].tolist(), ties, draw(own, 4 * t + 3))
            if epsilon > 0 and unit(draw(own, 4 * t + 1)) < epsilon:
                action = below(draw(own, 4 * t + 2), values.shape[1])
            actions[agent, t] = action
            lengths[agent] = t + 1
            if repeat:
                cells[agent, t] = state
                continue
            there, _, stamped = step(world, state, action)
            if there is None:
                break
            if stamped:
                cells[agent, t] = there
            state = there
    return cells, actions, lengths


def replay(frame, grid, action_set, trajectories, *, parameters=None, key, plane_key=0):
    """The definition: every stamp's plain function on the pixels, in time order."""
    out = frame.copy()
    height, width = frame.shape[:2]
    rows = [i * height // grid.picture_rows for i in range(grid.picture_rows + 1)]
    cols = [i * width // grid.picture_cols for i in range(grid.picture_cols + 1)]

    def window(row, col):
        return slice(rows[row], rows[row + 1]), slice(cols[col], cols[col + 1])

    planes = {}
    for t in range(trajectories.cells.shape[1]):
        for agent in range(trajectories.cells.shape[0]):
            cell = int(trajectories.cells[agent, t])
            if cell < 0:
                continue
            action = int(trajectories.actions[agent, t])
            index = action // action_set.n_moves
            effect = get_effect(action_set.effects[index])
            given = (parameters or {}).get(effect.name) or effect.parameters()
            if effect.name not in planes:
                source = Source(frame, (), draw(draw(plane_key, index), 0))
                planes[effect.name] = effect.plane(source, given) if effect.plane else frame
            row, col = divmod(cell, grid.cols)
            move = tuple(int(value) for value in action_set.offsets[action])
            to_row, to_col = effect.source(given, move) if effect.source else (-move[0], -move[1])
            from_row, from_col = row + to_row, col + to_col
            if not (0 <= from_row < grid.picture_rows and 0 <= from_col < grid.picture_cols):
                from_row, from_col = row, col
            here, there = window(row, col), window(from_row, from_col)
            made = effect.function(
                Stamp(
                    cell=out[here].copy(),
                    left=out[there].copy(),
                    plane=planes[effect.name][here],
                    move=move,
                    key=draw(draw(key, agent), t),
                    place=(rows[row], cols[col]),
                    size=(height, width),
                ),
                given,
            )
            if effect.name == "swap":
                out[there] = made[1]
                made = made[0]
            out[here] = made
    return out
