// Files that are part of the program: the API's document and the page that shows it. The compiler puts them in (#embed of C23),
// so that the program needs nothing beside it. Read by MartletHTTP.

#ifndef MARTLET_DOCUMENTS_H
#define MARTLET_DOCUMENTS_H

#include <stddef.h>

/// Bytes that last as long as the program.
typedef struct {
  const unsigned char *_Nonnull bytes;
  size_t count;
} martlet_document;

/// docs/api/openapi.yaml
martlet_document martlet_openapi(void);
/// page/docs.html
martlet_document martlet_docs_html(void);
/// page/docs.css
martlet_document martlet_docs_css(void);
/// page/docs.js
martlet_document martlet_docs_js(void);

#endif
