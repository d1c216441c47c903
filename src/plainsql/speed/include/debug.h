/* asyncpg's declarations include this file, which its wheel does not have. */
#ifndef PLAINSQL_DEBUG_H
#define PLAINSQL_DEBUG_H
#define PG_DEBUG 0
#endif
