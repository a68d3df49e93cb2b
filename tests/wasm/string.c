/* Compiled with -fno-builtin, so that no loop becomes a call of itself. */
#include "string.h"

void *memcpy(void *to, const void *from, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        ((char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memset(void *to, int value, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) ((unsigned char *)to)[i] = (unsigned char)value;
    return to;
}

void *memchr(const void *in, int value, size_t n)
{
    const unsigned char *at = (const unsigned char *)in;
    for (; n > 0; n--, at++)
        if (*at == (unsigned char)value) return (void *)(size_t)at;
    return NULL;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = (const unsigned char *)a;
    const unsigned char *y = (const unsigned char *)b;
    for (; n > 0; n--, x++, y++)
        if (*x != *y) return *x - *y;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n]) n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    while (n > 0 && *a && *a == *b) a++, b++, n--;
    return n ? (unsigned char)*a - (unsigned char)*b : 0;
}

char *strchr(const char *s, int c)
{
    for (; *s != (char)c; s++)
        if (!*s) return NULL;
    return (char *)(size_t)s;
}

char *strstr(const char *s, const char *part)
{
    size_t n = strlen(part);
    for (; strncmp(s, part, n) != 0; s++)
        if (!*s) return NULL;
    return (char *)(size_t)s;
}

size_t strcspn(const char *s, const char *stops)
{
    size_t n = 0;
    while (s[n] && !strchr(stops, s[n])) n++;
    return n;
}
