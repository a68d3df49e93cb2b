/* What every test program shares: checks that go on after a failure, a line
 * for each test, and the closing line that tests/run.sh adds up.
 *
 *     static void two_and_two_make_four(void) { CHECK(2 + 2 == 4); }
 *     int main(void) { RUN(two_and_two_make_four); return test_end(); }
 *
 * CGD_TESTS in the environment: run only tests whose names begin so.  */
#ifndef TEST_H
#define TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_failures;              /* of the test that is running        */
static int test_passed, test_failed;
static const char *test_name;

static void test_failure(const char *file, int line, const char *what)
{
    if (test_failures++ < 5)           /* a loop may fail a thousand times   */
        printf("FAILED %s %s:%d %s\n", test_name, file, line, what);
}

#define CHECK(cond) \
    ((cond) ? (void)0 : test_failure(__FILE__, __LINE__, #cond))

/* |a - b| <= tolerance; not true of a NaN. */
#define CHECK_NEAR(a, b, tolerance) \
    test_near((double)(a), (double)(b), (double)(tolerance), __FILE__, \
              __LINE__, #a " is near " #b)

static void test_near(double a, double b, double tolerance, const char *file,
                      int line, const char *what)
{
    if (fabs(a - b) <= tolerance) return;
    test_failure(file, line, what);
    if (test_failures <= 5) printf("    %.9g and %.9g\n", a, b);
}

#define RUN(function) test_run(function, #function)

static void test_run(void (*function)(void), const char *name)
{
    const char *only = getenv("CGD_TESTS");
    if (only && strncmp(name, only, strlen(only)) != 0) return;
    test_name = name;
    test_failures = 0;
    function();
    if (test_failures) test_failed++;
    else { test_passed++; printf("ok %s\n", name); }
    fflush(stdout);
    (void)test_near;                   /* not every test needs it            */
}

static int test_end(void)
{
    printf("%d passed, %d failed\n", test_passed, test_failed);
    return test_failed != 0;
}

#endif
