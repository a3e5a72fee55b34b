"""From a CSV of orders to totals for each customer and a bar chart."""

import base64

from chart import bar_chart
from orders import UnusableOrders, read_orders, totals_by_customer


def execute(input, context):
    """Return the report. Rows that cannot be read are the caller's to mend, so they get a 422."""
    try:
        orders = read_orders(input["csv"])
    except UnusableOrders as error:
        return 422, {}, {"detail": str(error), "lines": error.lines}
    customers = totals_by_customer(orders)
    context.logger.info("report", extra={"orders": len(orders), "customers": len(customers)})
    title = input.get("title", "Orders by customer")
    return {
        "orders": len(orders),
        "first_date": orders["date"].min().date().isoformat(),
        "last_date": orders["date"].max().date().isoformat(),
        "total": _money(int(orders["cents"].sum())),
        "customers": [
            {
                "customer": row.customer,
                "orders": int(row.orders),
                "quantity": int(row.quantity),
                "total": _money(int(row.cents)),
            }
            for row in customers.itertuples()
        ],
        "chart": {
            "media_type": "image/png",
            "base64": base64.b64encode(
                bar_chart(title, [(row.customer, row.cents / 100) for row in customers.itertuples()])
            ).decode(),
        },
    }


def _money(cents):
    return f"{cents // 100}.{cents % 100:02d}"
