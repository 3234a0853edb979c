// PostgreSQL's client library, as MartletPostgres sees it.
#pragma once
#include <libpq-fe.h>

// Swift does not import macros that are characters.
enum {
  PQ_SEVERITY = PG_DIAG_SEVERITY_NONLOCALIZED,
  PQ_SQLSTATE = PG_DIAG_SQLSTATE,
  PQ_PRIMARY = PG_DIAG_MESSAGE_PRIMARY,
  PQ_DETAIL = PG_DIAG_MESSAGE_DETAIL,
  PQ_HINT = PG_DIAG_MESSAGE_HINT,
};
