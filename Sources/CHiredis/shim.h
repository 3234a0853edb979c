// The reader of Redis' protocol from its client library, as MartletRedis sees it: no sockets, no connections.
#pragma once
#include <hiredis/read.h>
