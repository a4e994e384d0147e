"""What many begin with: a consumer that stores every message by itself, and commits after it.

Settings: BROKERS, TOPIC, MONGO_URL, DATABASE. Runs until it is killed.
"""

import json
import os

from confluent_kafka import Consumer
from pymongo import MongoClient

prices = MongoClient(os.environ["MONGO_URL"])[os.environ["DATABASE"]]["realtime_prices"]
consumer = Consumer(
    {
        "bootstrap.servers": os.environ["BROKERS"],
        "group.id": f"python-{os.getpid()}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": True,
    }
)
consumer.subscribe([os.environ["TOPIC"]])
while True:
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    prices.insert_one(json.loads(message.value()))
