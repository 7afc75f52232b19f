"""A scheduler of about 50 lines that its author believed right; docs/test_your_scheduler.md tests it."""

from lineclear.testing import Limits, Observation, Row


class FridayScheduler:
    """First come, first served; whole prompts; when blocks run out, the youngest waits again."""

    def __init__(self) -> None:
        sizes = {"blocks": 6, "block_size": 2, "max_seqs": 3, "max_tokens": 6}
        self.limits = Limits(**sizes, max_len=10, chunked=False)
        self.free = list(range(6))
        self.tokens, self.most, self.tables = {}, {}, {}
        self.waiting, self.running = [], []

    def submit(self, name, prompt, max_new):
        if len(prompt) > 6 or len(prompt) + max_new > 2 * 6:  # the budget of a step; the pool
            return False
        self.tokens[name], self.most[name] = prompt, len(prompt) + max_new
        self.waiting.append(name)
        return True

    def abort(self, name):
        self.release(name)
        (self.waiting if name in self.waiting else self.running).remove(name)

    def step(self, execute):
        rows, budget = [], 6
        for name in list(self.running):  # one token each, the oldest first
            while name in self.running and not self.room(name, len(self.tokens[name])):
                self.preempt(self.running[-1])
            if name in self.running:
                rows.append((name, len(self.tokens[name]) - 1, 1))
                budget -= 1
        while self.waiting and len(self.running) < 3:  # then whole prompts, as long as they fit
            name, known = self.waiting[0], len(self.tokens[self.waiting[0]])
            if known > budget or not self.room(name, known):
                break
            self.running.append(self.waiting.pop(0))
            rows.append((name, 0, known))
            budget -= known
        rows = [Row(name, at, n, self.tables[name], True) for name, at, n in rows]
        for row, token in zip(rows, execute(rows) if rows else [], strict=True):
            self.tokens[row.request_id].append(token)
        ended = [name for name in self.running if len(self.tokens[name]) == self.most[name]]
        for name in ended:
            self.abort(name)
        return ended

    def room(self, name, tokens):
        table = self.tables.setdefault(name, [])
        needs = -(-tokens // 2) - len(table)
        if needs > len(self.free):
            return False
        table += [self.free.pop() for _ in range(needs)]
        return True

    def release(self, name):
        self.free += self.tables.pop(name, [])

    def preempt(self, name):
        self.release(name)
        self.running.remove(name)
        self.waiting.insert(0, name)

    def observe(self):
        return Observation(self.tables, self.free, {}, self.waiting, self.running)


def make_scheduler():
    return FridayScheduler()
