"""The product page as a load for Locust: https://locust.io

    deploy/load/run.sh                            # web interface, against API_URL of .stack/env
    deploy/load/run.sh --headless -u 50 -t 30s    # without one; any option of Locust

Locust is a closed loop: a user who waits for an answer asks for nothing meanwhile, so a stall hardly
shows in its percentiles. larder-bench times requests from when they were due.
"""

import os
import random

from locust import FastHttpUser, between, task

# Products of the catalogue, and how many of the requests change one.
PRODUCTS = int(os.environ.get("PRODUCTS", "50000"))
WRITES = float(os.environ.get("WRITES", "0.02"))
# Whoever changes something shows a key.
ADMIN_KEY = os.environ.get("ADMIN_KEY", "")
# Rank r is asked for in proportion to r to the power of minus this.
EXPONENT = float(os.environ.get("EXPONENT", "1.0"))

_ranks = range(1, PRODUCTS + 1)
_sums = []
_sum = 0.0
for _rank in _ranks:
    _sum += _rank**-EXPONENT
    _sums.append(_sum)


def product():
    """A product's id: small ids are popular."""
    return random.choices(_ranks, cum_weights=_sums)[0]


class Visitor(FastHttpUser):
    """Looks at pages, now and then at a summary only; sometimes a price changes."""

    wait_time = between(0.1, 0.5)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"} if ADMIN_KEY else {}

    @task(9)
    def page(self):
        if random.random() < WRITES:
            price = {"minor": random.randint(100, 99_999), "currency": "EUR"}
            self.client.patch(
                f"/products/{product()}",
                json={"price": price},
                headers=self.headers,
                name="PATCH /products/{id}",
            )
        else:
            self.client.get(f"/products/{product()}", name="GET /products/{id}")

    @task(1)
    def summary(self):
        self.client.get(f"/products/{product()}/summary", name="GET /products/{id}/summary")
