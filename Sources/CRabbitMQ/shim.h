// RabbitMQ's client library, as MartletEvents sees it.
#pragma once
#include <sys/time.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>

// Swift sees the macros behind these, if at all, as numbers of changing types.
static const amqp_method_number_t RABBIT_CONNECTION_CLOSE = AMQP_CONNECTION_CLOSE_METHOD;
static const amqp_method_number_t RABBIT_CONNECTION_BLOCKED = AMQP_CONNECTION_BLOCKED_METHOD;
static const amqp_method_number_t RABBIT_CONNECTION_UNBLOCKED = AMQP_CONNECTION_UNBLOCKED_METHOD;
static const amqp_method_number_t RABBIT_CHANNEL_CLOSE = AMQP_CHANNEL_CLOSE_METHOD;
static const amqp_method_number_t RABBIT_BASIC_ACK = AMQP_BASIC_ACK_METHOD;
static const amqp_method_number_t RABBIT_BASIC_NACK = AMQP_BASIC_NACK_METHOD;
static const amqp_method_number_t RABBIT_BASIC_RETURN = AMQP_BASIC_RETURN_METHOD;
static const amqp_method_number_t RABBIT_BASIC_DELIVER = AMQP_BASIC_DELIVER_METHOD;
static const amqp_method_number_t RABBIT_BASIC_CANCEL = AMQP_BASIC_CANCEL_METHOD;
static const amqp_method_number_t RABBIT_BASIC_GET_EMPTY = AMQP_BASIC_GET_EMPTY_METHOD;

static const uint8_t RABBIT_FRAME_METHOD = AMQP_FRAME_METHOD;
static const uint8_t RABBIT_FRAME_HEADER = AMQP_FRAME_HEADER;
static const uint8_t RABBIT_FRAME_BODY = AMQP_FRAME_BODY;

static const amqp_flags_t RABBIT_CONTENT_TYPE = AMQP_BASIC_CONTENT_TYPE_FLAG;
static const amqp_flags_t RABBIT_HEADERS = AMQP_BASIC_HEADERS_FLAG;
static const amqp_flags_t RABBIT_DELIVERY_MODE = AMQP_BASIC_DELIVERY_MODE_FLAG;
static const amqp_flags_t RABBIT_MESSAGE_ID = AMQP_BASIC_MESSAGE_ID_FLAG;
static const amqp_flags_t RABBIT_TIMESTAMP = AMQP_BASIC_TIMESTAMP_FLAG;
static const amqp_flags_t RABBIT_TYPE = AMQP_BASIC_TYPE_FLAG;

// Swift cannot call functions with `...`.
static inline amqp_rpc_reply_t rabbit_login(
    amqp_connection_state_t connection, const char *vhost, int heartbeat,
    const amqp_table_t *properties, const char *user, const char *password) {
  return amqp_login_with_properties(connection, vhost, 1, AMQP_DEFAULT_FRAME_SIZE, heartbeat, properties,
                                    AMQP_SASL_METHOD_PLAIN, user, password);
}
