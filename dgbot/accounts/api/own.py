"""One's own account and personal tokens."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as ModelError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from dgbot.accounts import audit, logins, personal_tokens
from dgbot.accounts.models import PersonalToken, Scope, User
from dgbot.base.rest.authentication import ALL_SCOPES, granted_to, user_of
from dgbot.base.rest.fields import Instant, RowSerializer
from dgbot.base.rest.filters import filters
from dgbot.base.rest.needs import administers, reads
from dgbot.base.rest.views import Face, Input, Rows

DEFAULT_LIFE = timedelta(days=90)


class Me(serializers.Serializer[User]):
    """Who asks, and what he may do."""

    id = serializers.IntegerField()
    username = serializers.CharField()
    email = serializers.EmailField(allow_blank=True)
    first_name = serializers.CharField(allow_blank=True)
    last_name = serializers.CharField(allow_blank=True)
    roles = serializers.SerializerMethodField()
    permissions = serializers.SerializerMethodField(help_text="Names of Django's permissions.")
    scopes = serializers.SerializerMethodField(help_text="Of the token used.")

    def get_roles(self, user: User) -> list[str]:
        """Names of the user's groups."""
        return sorted(user.groups.values_list("name", flat=True))

    def get_permissions(self, user: User) -> list[str]:
        """Everything that is asked anywhere."""
        return sorted(user.get_all_permissions())

    def get_scopes(self, _user: User) -> list[str]:
        """A session has all."""
        granted = granted_to(self.context["request"])
        return sorted(granted.scopes if granted else ALL_SCOPES)


class MeInput(Input):
    """What one may change of oneself."""

    email = serializers.EmailField(required=False, allow_blank=True, max_length=254)
    first_name = serializers.CharField(required=False, allow_blank=True, max_length=150)
    last_name = serializers.CharField(required=False, allow_blank=True, max_length=150)


class PasswordInput(Input):
    """The old and the new one."""

    old = serializers.CharField(max_length=4096, trim_whitespace=False)
    new = serializers.CharField(max_length=4096, trim_whitespace=False)


class MeFace(Face):
    """The own account."""

    needs = {"get": reads(), "patch": administers()}
    tag = "me"

    @extend_schema(operation_id="me", summary="Your account", responses=Me)
    def get(self, request: Request) -> Response:
        """Who you are here, with roles, permissions and the scopes of the token used."""
        return self._told(request)

    @extend_schema(operation_id="me_change", summary="Change your account", request=MeInput, responses=Me)
    def patch(self, request: Request) -> Response:
        """Name and address."""
        user, asked = user_of(request), self.given(request, MeInput)
        diff = {name: [getattr(user, name), value] for name, value in asked.items() if getattr(user, name) != value}
        if diff:
            with transaction.atomic():
                for name, (_before, value) in diff.items():
                    setattr(user, name, value)
                user.save(update_fields=list(diff))
                audit.record(actor=user, action="change own account", target=f"user:{user.pk}", diff=diff)
        return self._told(request)

    def _told(self, request: Request) -> Response:
        return Response(Me(user_of(request), context={"request": request}).data)


class PasswordFace(Face):
    """The own password."""

    needs = {"post": administers()}
    tag = "me"

    @extend_schema(operation_id="me_password", summary="Change your password", request=PasswordInput, responses={204: None})
    @sensitive_variables("asked")
    def post(self, request: Request) -> Response:
        """Ends every login of yours, this one included. Personal tokens stay."""
        user, asked = user_of(request), self.given(request, PasswordInput)
        if not user.check_password(asked["old"]):
            raise ValidationError({"old": [_("It is not your password.")]})
        try:
            validate_password(asked["new"], user)
        except ModelError as error:
            raise ValidationError({"new": error.messages}) from None
        with transaction.atomic():
            user.set_password(asked["new"])
            user.save(update_fields=["password"])
            audit.record(actor=user, action="change own password", target=f"user:{user.pk}")
            logins.revoke_all(user, by=user, reason="the password was changed")
        return Response(status=204)


class TokenRow(RowSerializer):
    """A personal token without its text."""

    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))

    class Meta:
        model = PersonalToken
        fields: tuple[str, ...] = ("id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")


class NewToken(TokenRow):
    """A personal token right after it was made."""

    token = serializers.CharField(read_only=True, allow_null=True, help_text="Shown only now; null when the same request is repeated.")

    class Meta(TokenRow.Meta):
        fields = ("token", *TokenRow.Meta.fields)


class TokenInput(Input):
    """What a token is for."""

    name = serializers.CharField(max_length=60)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        min_length=1,
        max_length=3,
        help_text="None includes another: reading needs `read`.",
    )
    expires_at = Instant(required=False, help_text="At most 366 days from now; without it 90 days.")


@extend_schema_view(
    list=extend_schema(summary="Your personal tokens"),
    retrieve=extend_schema(summary="One of your personal tokens"),
)
class TokensFace(Rows):
    """Personal tokens: for programs that run without a person. One sees one's own, whatever else one may see."""

    queryset = PersonalToken.objects.all()
    serializer_class = TokenRow
    filterset_class = filters(PersonalToken, times=("created_at", "expires_at"))
    needs = {"list": administers(), "retrieve": administers(), "create": administers(), "destroy": administers()}
    hides = ("token",)

    def get_queryset(self) -> Any:
        """The user's own."""
        return super().get_queryset().filter(user_id=self.request.user.pk)

    @extend_schema(summary="Make a personal token", request=TokenInput, responses={201: NewToken})
    def create(self, request: Request) -> Response:
        """The answer carries its text, which is shown only once: only a hash of it is kept."""
        asked = self.given(request, TokenInput)
        ends = asked.get("expires_at") or timezone.now() + DEFAULT_LIFE
        token, text = personal_tokens.make(
            user_of(request), name=asked["name"], scopes=asked["scopes"], expires_at=ends, by=user_of(request)
        )
        return Response({"token": text, **TokenRow(token).data}, status=201)

    @extend_schema(summary="Revoke a personal token", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """It ends at once; its row stays."""
        personal_tokens.revoke(self.get_object(), by=request.user)
        return Response(status=204)
