// Kafka's client library, as MartletEvents and its tests see it.
#pragma once
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>  // the brokers of the tests
#include <stdint.h>

// Swift has no variadic C functions. The message is copied; the headers are the library's own unless it returns an error.
static inline rd_kafka_resp_err_t martlet_kafka_produce(
    rd_kafka_t *client, const char *topic, const void *key, size_t key_size, const void *value, size_t value_size,
    rd_kafka_headers_t *headers, uintptr_t token) {
  return rd_kafka_producev(
      client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, key_size), RD_KAFKA_V_VALUE((void *)value, value_size),
      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE((void *)token),
      RD_KAFKA_V_END);
}
