// libcurl, as MartletEvents sees it: Swift does not import functions with variable arguments, so each kind of option has one of
// its own.
#pragma once
#include <curl/curl.h>

static inline CURLcode martlet_curl_set_number(CURL *curl, CURLoption option, long value) {
  return curl_easy_setopt(curl, option, value);
}

static inline CURLcode martlet_curl_set_size(CURL *curl, CURLoption option, curl_off_t value) {
  return curl_easy_setopt(curl, option, value);
}

// libcurl copies the text.
static inline CURLcode martlet_curl_set_text(CURL *curl, CURLoption option, const char *value) {
  return curl_easy_setopt(curl, option, value);
}

// For lists, buffers and what is handed to callbacks; libcurl keeps the pointer.
static inline CURLcode martlet_curl_set_pointer(CURL *curl, CURLoption option, void *value) {
  return curl_easy_setopt(curl, option, value);
}

typedef size_t (*martlet_curl_read)(char *, size_t, size_t, void *);
static inline CURLcode martlet_curl_on_read(CURL *curl, martlet_curl_read function) {
  return curl_easy_setopt(curl, CURLOPT_READFUNCTION, function);
}

typedef int (*martlet_curl_progress)(void *, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
static inline CURLcode martlet_curl_on_progress(CURL *curl, martlet_curl_progress function) {
  return curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, function);
}

typedef int (*martlet_curl_debug)(CURL *, curl_infotype, char *, size_t, void *);
static inline CURLcode martlet_curl_on_debug(CURL *curl, martlet_curl_debug function) {
  return curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, function);
}

typedef curl_socket_t (*martlet_curl_open_socket)(void *, curlsocktype, struct curl_sockaddr *);
static inline CURLcode martlet_curl_on_open_socket(CURL *curl, martlet_curl_open_socket function) {
  return curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, function);
}

// Swift does not import these: the one is a macro with a cast, the other depends on the platform.
static inline CURLcode martlet_curl_global_init(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }
static inline curl_socket_t martlet_curl_bad_socket(void) { return CURL_SOCKET_BAD; }
