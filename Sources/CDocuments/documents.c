// The files of documents.h, by their places beside this one.

#include "documents.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

#define DOCUMENT(name) \
  martlet_document martlet_##name(void) { \
    return (martlet_document){.bytes = name##_bytes, .count = sizeof name##_bytes}; \
  }

static const unsigned char openapi_bytes[] = {
#embed "../../docs/api/openapi.yaml"
};
DOCUMENT(openapi)

static const unsigned char docs_html_bytes[] = {
#embed "page/docs.html"
};
DOCUMENT(docs_html)

static const unsigned char docs_css_bytes[] = {
#embed "page/docs.css"
};
DOCUMENT(docs_css)

static const unsigned char docs_js_bytes[] = {
#embed "page/docs.js"
};
DOCUMENT(docs_js)
