"""Reads orders and adds them up. Money is counted in whole cents: floats do not add up."""

import io

import pandas

COLUMNS = ["customer", "item", "quantity", "unit_price", "date"]


class UnusableOrders(ValueError):
    """The CSV has rows or columns that cannot be read; `lines` are their numbers in the file."""

    def __init__(self, message, lines=()):
        super().__init__(message)
        self.lines = list(lines)


def read_orders(text):
    """Return a frame of the orders with typed columns and the amount of each row in cents."""
    try:
        orders = pandas.read_csv(io.StringIO(text), dtype=str, skipinitialspace=True, keep_default_na=False)
    except ValueError as error:
        raise UnusableOrders(f"The text is not CSV: {error}") from None
    missing = [name for name in COLUMNS if name not in orders.columns]
    if missing:
        raise UnusableOrders(f"These columns are missing: {', '.join(missing)}.")
    if orders.empty:
        raise UnusableOrders("There are no orders below the header.")
    quantity = pandas.to_numeric(orders["quantity"], errors="coerce")
    price = pandas.to_numeric(orders["unit_price"], errors="coerce")
    date = pandas.to_datetime(orders["date"], format="%Y-%m-%d", errors="coerce")
    customer = orders["customer"].str.strip()
    # Beyond these bounds a sum in cents would not stay exact.
    wrong = ~(
        quantity.between(1, 1_000_000)
        & (quantity % 1 == 0)
        & price.between(0, 1_000_000)
        & date.notna()
        & customer.ne("")
    )
    if wrong.any():
        lines = [int(number) + 2 for number in orders.index[wrong][:20]]
        raise UnusableOrders(
            "Each order needs a customer, a whole quantity from 1, a price from 0, a date like 2026-01-31.",
            lines,
        )
    quantity = quantity.astype("int64")
    cents = quantity * (price * 100).round().astype("int64")
    return orders.assign(customer=customer, quantity=quantity, date=date, cents=cents)


def totals_by_customer(orders):
    """Return one row for each customer, the largest total first."""
    grouped = orders.groupby("customer", as_index=False).agg(
        orders=("item", "size"), quantity=("quantity", "sum"), cents=("cents", "sum")
    )
    return grouped.sort_values(["cents", "customer"], ascending=[False, True], kind="stable")
