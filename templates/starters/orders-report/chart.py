"""Draws a bar chart with Pillow alone."""

import io
import unicodedata

from PIL import Image, ImageDraw, ImageFont

WIDTH, BAR, GAP, MARGIN, LABELS = 800, 28, 12, 24, 220
MOST_BARS = 20
INK, BACKGROUND, FILL = "#1f2933", "#ffffff", "#3366cc"


def bar_chart(title, rows):
    """Return a PNG of (label, value) rows as horizontal bars; beyond 20 the rest is one bar."""
    rows = _shortened(rows)
    heading, text = ImageFont.load_default(size=22), ImageFont.load_default(size=15)
    top = MARGIN + 44
    image = Image.new("RGB", (WIDTH, top + len(rows) * (BAR + GAP) + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), _fitted(draw, title, heading, WIDTH - 2 * MARGIN), font=heading, fill=INK)
    largest = max((value for _, value in rows), default=0) or 1
    room = WIDTH - LABELS - MARGIN - 110
    for number, (label, value) in enumerate(rows):
        y = top + number * (BAR + GAP)
        end = LABELS + max(2, round(room * value / largest))
        draw.text((MARGIN, y + 5), _fitted(draw, label, text, LABELS - MARGIN - 12), font=text, fill=INK)
        draw.rectangle((LABELS, y, end, y + BAR), fill=FILL)
        draw.text((end + 8, y + 5), f"{value:,.2f}", font=text, fill=INK)
    png = io.BytesIO()
    image.save(png, "PNG")
    return png.getvalue()


def _shortened(rows):
    if len(rows) <= MOST_BARS:
        return rows
    rest = rows[MOST_BARS - 1 :]
    return [*rows[: MOST_BARS - 1], (f"{len(rest)} others", sum(value for _, value in rest))]


def _fitted(draw, label, font, width):
    # Pillow's own font has ASCII only, so accents are left off; the JSON keeps the exact name.
    plain = unicodedata.normalize("NFKD", label)
    label = "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode()
    if draw.textlength(label, font=font) <= width:
        return label
    while label and draw.textlength(label + "...", font=font) > width:
        label = label[:-1]
    return label + "..."
