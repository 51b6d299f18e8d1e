/* SPDX-License-Identifier: Apache-2.0 */
#include "zmq_curve.h"

#include <errno.h>
#include <string.h>

#include <zmq.h>

#include "log.h"
#include "zmq_key.h"
#include "zmq_zap.h"

/* Nothing is quoted of these values: somebody may have written the key itself instead of its file's name. */
int wb_zmq_curve_check(
	const char *url, const struct wb_zmq_curve_options *options, bool bind, struct wb_error *ret_error)
{
	const char *missing = bind ? "curve_allow" : "curve_server_key";
	const char *surplus = bind ? "curve_server_key" : "curve_allow";

	if (bind ? options->server_key : options->allow)
		return wb_fail(ret_error, -EINVAL, "%s: %s is not for the side that %s: %s is", url, surplus,
			bind ? "binds" : "connects", missing);
	if (!options->key && (options->server_key || options->allow))
		return wb_fail(ret_error, -EINVAL, "%s: %s needs curve_key, the file with this side's secret key", url,
			missing);
	if (!options->key)
		return 0;
	if (bind && !options->allow)
		return wb_fail(ret_error, -EINVAL,
			"%s: curve_key of the side that binds needs curve_allow: the public keys of those who may"
			" connect, or * for all who have this side's public key",
			url);
	if (!bind && !options->server_key)
		return wb_fail(ret_error, -EINVAL,
			"%s: curve_key of the side that connects needs curve_server_key: the file with the public key"
			" of the side that binds",
			url);
	if (!wb_zmq_key_supported())
		return wb_fail(ret_error, -EINVAL, "%s: curve_key: this libzmq was built without CURVE", url);
	return 0;
}

static int set_key(void *socket, int option, const struct wb_zmq_key *key)
{
	return zmq_setsockopt(socket, option, key->text, sizeof(key->text)) < 0 ? -errno : 0;
}

static int set_server(void *socket, const struct wb_zmq_key *secret)
{
	const int yes = 1;

	if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof(yes)) < 0 ||
		zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, WB_ZMQ_ZAP_DOMAIN, strlen(WB_ZMQ_ZAP_DOMAIN)) < 0)
		return -errno;
	return set_key(socket, ZMQ_CURVE_SECRETKEY, secret);
}

static int set_client(void *socket, const struct wb_zmq_key *secret, const struct wb_zmq_key *server)
{
	struct wb_zmq_key public;
	int r;

	r = zmq_curve_public(public.text, secret->text) < 0 ? -errno : 0;
	if (r == 0)
		r = set_key(socket, ZMQ_CURVE_SERVERKEY, server);
	if (r == 0)
		r = set_key(socket, ZMQ_CURVE_PUBLICKEY, &public);
	if (r == 0)
		r = set_key(socket, ZMQ_CURVE_SECRETKEY, secret);
	return r;
}

static int fail(const char *option, int code, const struct wb_error *why, struct wb_error *ret_error)
{
	return wb_fail(ret_error, code, "%s: %s", option, why->message);
}

int wb_zmq_curve_apply(const struct wb_zmq_curve_options *options, bool bind, void *socket, struct wb_error *ret_error)
{
	struct wb_zmq_key secret, server;
	struct wb_error why;
	int r;

	if (!wb_zmq_curve_used(options))
		return 0;
	r = wb_zmq_key_read(options->key, WB_ZMQ_KEY_SECRET, &secret, &why);
	if (r < 0)
		return fail("curve_key", r, &why, ret_error);
	if (bind) {
		r = set_server(socket, &secret);
	} else {
		r = wb_zmq_key_read(options->server_key, WB_ZMQ_KEY_PUBLIC, &server, &why);
		if (r < 0) {
			explicit_bzero(&secret, sizeof(secret));
			return fail("curve_server_key", r, &why, ret_error);
		}
		r = set_client(socket, &secret, &server);
	}
	explicit_bzero(&secret, sizeof(secret));
	return r < 0 ? wb_fail(ret_error, r, "cannot set the CURVE keys: %s", zmq_strerror(-r)) : 0;
}
